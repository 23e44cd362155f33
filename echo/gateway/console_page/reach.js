// Why a WebSocket did not open. The browser does not say, so a plain request goes to the same address, and the gateway
// answers with what arrived (echo/gateway/arrival.py). A plain request cannot carry Upgrade, so the fate of that header is
// inferred, and worded as such. Does not touch the page.

import { route } from "./routes.js";

const PATIENCE = 5_000; // Milliseconds.

/**
 * Make the request, and explain.
 *
 * @param {string} stream The stream whose WebSocket did not open.
 * @returns {Promise<string>} Sentences.
 */
export async function diagnose(stream) {
  const headers = { "X-Page-Origin": self.origin };
  try {
    const response = await fetch(route(`ws/stream/${stream}`), {
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    const { status, statusText, redirected, url } = response;
    return conclude({ status, statusText, redirectedTo: redirected ? url : "", arrived: arrivedIn(await response.text()) }, self.origin);
  } catch {
    return conclude(null, self.origin);
  }
}

function arrivedIn(text) {
  try {
    return JSON.parse(text).arrived ?? null;
  } catch {
    return null; // Not the gateway's.
  }
}

const PASS_UPGRADE =
  "Every proxy must pass Upgrade and Connection on; in nginx: proxy_http_version 1.1; " +
  "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/**
 * What the answer to the plain request means.
 *
 * @param {{status: number, statusText: string, redirectedTo: string, arrived: ?object} | null} answer Null if none came.
 * @param {string} origin The page's.
 * @returns {string} Sentences.
 */
export function conclude(answer, origin) {
  if (answer === null) {
    return "The gateway can't be reached: plain HTTP to the same address gets no answer either.";
  }
  const { arrived } = answer;
  if (answer.status !== 426 || !arrived) return elsewhere(answer);
  const found = [];
  if (!arrived.origin_allowed) found.push(refusedOrigin(arrived, origin));
  if (arrived.http_version === "1.0") {
    found.push(`The path removed the Upgrade header: requests reach the gateway as HTTP/1.0, which has no WebSockets. ${PASS_UPGRADE}`);
  }
  if (found.length) return found.join(" ");
  return (
    "Most likely the path removed the Upgrade header: plain HTTP to the same address reaches the gateway, which allows " +
    `this page's origin, so the handshake was lost or changed on the way. ${PASS_UPGRADE}`
  );
}

function elsewhere({ status, statusText, redirectedTo }) {
  const told = `HTTP ${status} ${statusText}`.trim();
  if (redirectedTo) return `The path redirects the route to ${redirectedTo}; a WebSocket does not follow redirects.`;
  if (status >= 502 && status <= 504) {
    return `The route can't be reached (${told}): a proxy answers, but gets no answer from the gateway.`;
  }
  if (status === 401 || status === 403) return `Something in front of the gateway refuses the route (${told}).`;
  if (status === 404) {
    return `The route can't be reached (${told}): what answers there is not this gateway's stream. Check which paths the proxy forwards.`;
  }
  return `The route can't be reached (${told}): that is not this gateway's answer, so something in front of it gave it.`;
}

function refusedOrigin({ own_origin: own, host }, origin) {
  const said =
    `The gateway refuses this page's origin, ${origin}. By the Host and X-Forwarded-Proto that reach it, its own origin ` +
    `is ${own ?? "unknown"}, and HTTP_ALLOWED_ORIGINS does not list the page's.`;
  const page = new URL(location.href);
  const mend =
    host?.toLowerCase() === page.host
      ? `Have the proxy send X-Forwarded-Proto: ${page.protocol.slice(0, -1)}`
      : "Have the proxy pass the Host header on (in nginx: proxy_set_header Host $http_host)";
  return `${said} ${mend}, or list the page's origin.`;
}
