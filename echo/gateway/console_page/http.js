// The gateway's plain HTTP routes: the unary call and readiness. Does not touch the page.

import { route } from "./routes.js";

const PATIENCE = 30_000; // Milliseconds; the gateway's own deadline is shorter.

/**
 * Call `GET /grpc/{key}`.
 *
 * @returns {Promise<{target: string, status: number, statusText: string, body: string, ms: number, requestId: string}>}
 *   Status 0 if no answer came; the body then says why.
 */
export async function unary(key) {
  const begun = performance.now();
  const target = `grpc/${key.split("/").map(encodeURIComponent).join("/")}`;
  try {
    const response = await fetch(route(target), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    const body = await response.text();
    const { status, statusText } = response;
    return { target, status, statusText, body, ms: performance.now() - begun, requestId: response.headers.get("x-request-id") ?? "" };
  } catch (error) {
    return { target, status: 0, statusText: "no answer", body: String(error), ms: performance.now() - begun, requestId: "" };
  }
}

/** Ask `/readyz`; returns {ready, reason}. */
export async function readiness() {
  try {
    const response = await fetch(route("readyz"), { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const text = (await response.text()).slice(0, 300);
    return response.ok ? { ready: true, reason: "" } : { ready: false, reason: text || `HTTP ${response.status}` };
  } catch {
    return { ready: false, reason: "the gateway does not answer" };
  }
}

/**
 * Poll readiness at a gentle rate, and only while the page is visible.
 *
 * @param {(answer: {ready: boolean, reason: string}) => void} tell Takes each answer.
 * @param {number} every Milliseconds between an answer and the next request.
 * @returns {() => void} A function that asks at once.
 */
export function watchReadiness(tell, every) {
  let timer = 0;
  let asking = false;
  const ask = async () => {
    clearTimeout(timer);
    if (asking || document.hidden) return;
    asking = true;
    tell(await readiness());
    asking = false;
    timer = setTimeout(ask, every);
  };
  document.addEventListener("visibilitychange", ask);
  ask();
  return ask;
}
