// Where the gateway's routes are: relative to this script's folder, so that the page also works below a path prefix that a
// proxy strips, whether or not the page's own address ends in a slash. Does not touch the page.

const ROOT = new URL("../", import.meta.url);

/** The URL of a route, such as "readyz". */
export function route(path) {
  return new URL(path, ROOT);
}

/** The URL of a stream's WebSocket: wss if the page was loaded over https. */
export function socketRoute(stream) {
  const url = route(`ws/stream/${stream}`);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}
