// A stock @grpc/grpc-js client. Reads what to do from standard input, a JSON object a line, and answers each with the
// outcome, a JSON object a line, as soon as it is there:
//
//   {"id": 1, "path": "/test.Recorder/Bidi", "kind": "STREAM_STREAM", "messages": [{...}], "metadata": [["a", "b"]],
//    "timeout": 2.5, "pingpong": true}  ->  {"id": 1, "code": 0, "details": "", "replies": [{...}], "initial": [...], "trailing": [...]}
//   {"cancel": 1}                       cancels that call, which then answers
//
// Calls run at once. `pingpong` sends a message only when the last one was answered. A call with "bytes" has messages
// and replies in base64, of any protobuf type. The end of the input ends the process.
//
// Arguments: ADDRESS [CA-FILE [CERT-FILE KEY-FILE]]; the environment's COMPRESSION=gzip compresses what is sent.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { grpc, Server, StreamingServer, Health, KINDS, asPairs, fromPairs } = require("./common");

const [address, ca, cert, key] = process.argv.slice(2);
const read = (file) => (file ? fs.readFileSync(file) : null);
const credentials = ca ? grpc.credentials.createSsl(read(ca), read(key), read(cert)) : grpc.credentials.createInsecure();
const options = process.env.COMPRESSION === "gzip" ? { "grpc.default_compression_algorithm": 2 } : {};
const client = new grpc.Client(address, credentials, options);

const METHODS = Object.fromEntries(
  [Server, StreamingServer, Health].flatMap((made) => Object.values(made.service)).map((method) => [method.path, method]),
);
const RECORDED = StreamingServer.service.BidirectionalStream; // Every other path has its messages,
const OCTETS = {
  // or what is in base64.
  requestSerialize: (text) => Buffer.from(text, "base64"),
  responseDeserialize: (octets) => octets.toString("base64"),
};

const running = new Map();

function start(order) {
  const method = METHODS[order.path] ?? (order.bytes ? OCTETS : RECORDED);
  const { requestStream, responseStream } = KINDS[order.kind];
  const outcome = { id: order.id, replies: [], initial: [], trailing: [] };
  const make = { false: { false: "Unary", true: "ServerStream" }, true: { false: "ClientStream", true: "BidiStream" } };
  const args = [order.path, method.requestSerialize, method.responseDeserialize];
  const messages = [...(order.messages ?? [])];
  for (let number = 1; number <= (order.numbered ?? 0); number++) {
    messages.push({ stream_id: "a", sequence_number: String(number), message: "m" });
  }
  if (!requestStream) {
    args.push(messages[0] ?? {});
  }
  args.push(fromPairs(order.metadata ?? []));
  args.push(order.timeout === undefined ? {} : { deadline: Date.now() + order.timeout * 1000 });
  if (!responseStream) {
    args.push((error, reply) => {
      if (!error) {
        outcome.replies.push(reply);
      }
    });
  }
  const call = client[`make${make[requestStream][responseStream]}Request`](...args);
  running.set(order.id, call);
  call.on("metadata", (metadata) => {
    outcome.initial = asPairs(metadata);
  });
  if (responseStream) {
    call.on("error", () => {}); // The status says the same.
    call.on("data", (reply) => {
      outcome.replies.push(reply);
      if (order.pingpong) {
        next();
      }
    });
  }
  call.on("status", (status) => {
    running.delete(order.id);
    Object.assign(outcome, { code: status.code, details: status.details, trailing: asPairs(status.metadata) });
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  });

  const next = () => (messages.length ? call.write(messages.shift()) : call.end());
  const flow = () => {
    while (messages.length) {
      if (!call.write(messages.shift())) {
        call.once("drain", flow);
        return;
      }
    }
    if (!order.open) {
      call.end();
    }
  };
  if (requestStream) {
    (order.pingpong ? next : flow)();
  }
}

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    if (order.cancel === undefined) {
      start(order);
    } else {
      running.get(order.cancel)?.cancel();
    }
  })
  .on("close", () => client.close());
