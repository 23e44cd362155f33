// A stock @connectrpc/connect-web client, to be bundled for a page: `connectCall(DESCRIPTORS-IN-BASE64, ORDER)` gives a
// promise of the outcome; see connect_calls.mjs. Besides what that knows, an order says how to call:
//
//   {"url": "http://...", "protocol": "connect" | "grpc-web", "json": true, "get": true}
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { call, registryOf } from "./connect_calls.mjs";

globalThis.connectCall = (descriptors, order) => {
  const octets = Uint8Array.from(atob(descriptors), (character) => character.charCodeAt(0));
  const make = order.protocol === "connect" ? createConnectTransport : createGrpcWebTransport;
  const transport = make({ baseUrl: order.url, useBinaryFormat: !order.json, useHttpGet: order.get ?? false });
  return call(registryOf(octets), transport, order);
};
