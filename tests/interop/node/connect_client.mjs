// A stock @connectrpc/connect-node client. Reads orders from standard input, a JSON object a line, and answers each with
// its outcome, one after the other; see connect_calls.mjs. Besides what that knows, an order says how to call:
//
//   {"protocol": "connect" | "grpc-web" | "grpc", "http": "1.1" | "2", "json": true, "get": true, "gzip": true}
//
// Arguments: BASE-URL DESCRIPTOR-SET-FILE
import fs from "node:fs";
import readline from "node:readline";
import * as connect from "@connectrpc/connect-node";
import { call, registryOf } from "./connect_calls.mjs";

const [baseUrl, descriptors] = process.argv.slice(2);
const registry = registryOf(fs.readFileSync(descriptors));
const TRANSPORTS = {
  connect: connect.createConnectTransport,
  "grpc-web": connect.createGrpcWebTransport,
  grpc: connect.createGrpcTransport,
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  // A connection of its own for each call over HTTP/2, closed when the call is over.
  const sessionManager = order.http === "2" ? new connect.Http2SessionManager(baseUrl) : undefined;
  const transport = TRANSPORTS[order.protocol]({
    baseUrl,
    httpVersion: order.http,
    sessionManager,
    useBinaryFormat: !order.json,
    useHttpGet: order.get ?? false,
    sendCompression: order.gzip ? connect.compressionGzip : undefined,
    compressMinBytes: 1,
  });
  const outcome = await call(registry, transport, order);
  sessionManager?.abort();
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
