// What the path is made of, as far as it shows in the request as it reached the gateway and the answer as it reached us.
// Does not touch the page.

import { parsed } from "./path.js";
import { route } from "../routes.js";

const PROTOCOLS = { "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" };

// How products show in headers of requests and responses: the beginning of a header's name, and the product.
const SIGNS = {
  "x-envoy-": "Envoy",
  "x-istio-": "Istio",
  "x-amzn-": "AWS ALB",
  "cf-": "Cloudflare",
  "x-cloud-trace-context": "GCP",
  "x-traefik-": "Traefik",
  "x-scheme": "ingress-nginx",
  "x-original-forwarded-for": "ingress-nginx",
};
const SERVERS = {
  nginx: "nginx",
  envoy: "Envoy",
  "istio-envoy": "Istio",
  awselb: "AWS ALB",
  cloudflare: "Cloudflare",
};
// What browsers send with a page's requests.
const OURS = [
  ...["accept", "accept-encoding", "accept-language", "cache-control", "connection", "cookie", "dnt", "host", "origin"],
  ...["pragma", "priority", "referer", "save-data", "te", "user-agent", "authorization"],
];

/** Examine the path: {protocol, added_headers, hops_guess}. */
export async function explore(signal, path) {
  const answer = await path.request(signal, "request", { facts: "1" });
  const spoken = performance.getEntriesByName(`${route("request")}?facts=1`).at(-1)?.nextHopProtocol;
  const arrived = (parsed(answer?.body ?? "").headers ?? []).map(({ name }) => name);
  const answered = answer ? Object.fromEntries(answer.headers) : {};
  return {
    protocol: PROTOCOLS[spoken] ?? null,
    added_headers: [...new Set(arrived.filter((name) => !name.startsWith(":") && !isOurs(name)))].sort(),
    hops_guess: guess(arrived, answered),
  };
}

const isOurs = (name) => OURS.includes(name) || name.startsWith("sec-");

function guess(arrived, answered) {
  const names = [...arrived, ...Object.keys(answered)];
  const found = new Set(
    Object.entries(SIGNS)
      .filter(([sign]) => names.some((name) => name.startsWith(sign)))
      .map(([, product]) => product),
  );
  const server = SERVERS[(answered.server ?? "").toLowerCase().split("/")[0]];
  if (server) found.add(server);
  if (answered.via) found.add(`via ${answered.via}`.slice(0, 80));
  if (!found.size && names.includes("x-forwarded-for")) found.add("an HTTP proxy");
  return [...found].sort();
}
