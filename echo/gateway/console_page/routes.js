// Where the gateway's routes are: beside this script's folder, so that the page also works below a path that a proxy
// takes off, whether or not the page's own address ends in a slash. No page.

const ROOT = new URL("../", import.meta.url);

/** The URL of a route, such as "readyz". */
export function route(path) {
  return new URL(path, ROOT);
}

/** The URL of a stream's WebSocket: wss where the page came over https. */
export function socketRoute(stream) {
  const url = route(`ws/stream/${stream}`);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}
