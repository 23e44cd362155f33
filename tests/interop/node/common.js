// What client and server share: the echo services as proto-loader reads them from proto/, and metadata as JSON.
"use strict";

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTO = path.resolve(__dirname, "../../../proto");
const definition = loader.loadSync(["echo.proto", "streaming.proto", "grpc/health/v1/health.proto"], {
  includeDirs: [PROTO],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});
const packages = grpc.loadPackageDefinition(definition);

const Server = packages.com.gopay.echo.Server;
const StreamingServer = packages.com.gopay.echo.streaming.StreamingServer;
const Health = packages.grpc.health.v1.Health;

const KINDS = {
  UNARY_UNARY: { requestStream: false, responseStream: false },
  STREAM_UNARY: { requestStream: true, responseStream: false },
  UNARY_STREAM: { requestStream: false, responseStream: true },
  STREAM_STREAM: { requestStream: true, responseStream: true },
};

// Metadata as a list of pairs; octets in base64.
function asPairs(metadata) {
  return Object.keys(metadata.getMap()).flatMap((key) =>
    metadata.get(key).map((value) => [key, Buffer.isBuffer(value) ? value.toString("base64") : value]),
  );
}

function fromPairs(pairs) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of pairs) {
    metadata.add(key, key.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  return metadata;
}

module.exports = { grpc, Server, StreamingServer, Health, KINDS, asPairs, fromPairs };
