// A stock @grpc/grpc-js server of the echo contract, on a free port of the loopback. Like the server that
// tests/support/grpcio.py makes, it does what a call's metadata ask for (see tests/support/recording.py).
//
// Prints a JSON object a line: {"port": 1234}, then {"call": 1, "saw": "started" | "waiting" | "cancelled" | "ended"}
// as calls go on; "started" has their "metadata" as well, and the "timeout" in seconds. The end of standard input ends
// the process; the line {"drain": true} has it take no more calls and finish those that run.
//
// Arguments: [CERT-FILE KEY-FILE [CLIENT-CA-FILE]].
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { grpc, Server, StreamingServer, asPairs } = require("./common");

const [cert, key, clientCa] = process.argv.slice(2);

let calls = 0;
const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const one = (metadata, name) => metadata.get(name)[0];
const now = () => (BigInt(Date.now()) * 1_000_000n).toString();

function copy(from, prefix, into) {
  for (const name of Object.keys(from.getMap()).filter((name) => name.startsWith(prefix))) {
    from.get(name).forEach((value) => into.add(name, value));
  }
  return into;
}

// Around each handler: tell what it sees, and do what every handler may be asked for. `finish(error, trailers)` ends
// the call; `work(finish, fail)` is what the method does.
function serve(call, finish, work) {
  const number = ++calls;
  const { metadata } = call;
  const deadline = call.getDeadline();
  const timeout = Number.isFinite(Number(deadline)) ? (Number(deadline) - Date.now()) / 1000 : null;
  say({ call: number, saw: "started", metadata: asPairs(metadata), timeout });
  call.on("cancelled", () => {
    say({ call: number, saw: "cancelled" });
    say({ call: number, saw: "ended" });
  });
  if (Object.keys(metadata.getMap()).some((name) => name.startsWith("initial-"))) {
    call.sendMetadata(copy(metadata, "initial-", new grpc.Metadata()));
  }
  const trailers = copy(metadata, "trailing-", new grpc.Metadata());
  if (metadata.get("want-wait").length) {
    say({ call: number, saw: "waiting" });
    call.on("data", () => {});
    return;
  }
  work(
    () => {
      const code = one(metadata, "want-status");
      say({ call: number, saw: "ended" });
      if (code === undefined || code === "0") {
        finish(null, trailers);
        return;
      }
      const details = one(metadata, "want-status-details-bin");
      if (details !== undefined) {
        trailers.set("grpc-status-details-bin", details);
      }
      finish({ code: Number(code), details: one(metadata, "want-status-message-bin").toString(), metadata: trailers });
    },
    (code, details) => {
      say({ call: number, saw: "ended" });
      finish({ code, details, metadata: trailers });
    },
  );
}

const nameless = (message, fail) =>
  message.stream_id ? false : (fail(grpc.status.INVALID_ARGUMENT, "stream_id is required"), true);

const answer = (stream_id, number, text) => ({
  stream_id,
  sequence_number: String(number),
  timestamp: now(),
  response: `from server: ${text}`,
  success: true,
});

function streamed(call) {
  return (error, trailers) => (error ? call.emit("error", error) : call.end(trailers));
}

const handlers = {
  GetReply(call, callback) {
    const reply = { success: true, response: `from server:${call.request.message}` };
    serve(call, (error, trailers) => callback(error, reply, trailers), (done) => done());
  },

  ClientStream(call, callback) {
    let received = 0;
    let streamId = "";
    let failed = false;
    const reply = () => answer(streamId, received, `received ${received} messages`);
    serve(
      call,
      (error, trailers) => callback(error, reply(), trailers),
      (done, fail) => {
        call.on("data", (message) => {
          failed ||= nameless(message, fail);
          streamId ||= message.stream_id;
          received += 1;
          if (!failed && !["0", String(received)].includes(message.sequence_number)) {
            failed = true;
            fail(grpc.status.DATA_LOSS, `${message.sequence_number} came as ${received}`);
          }
        });
        call.on("end", () => failed || done());
      },
    );
  },

  ServerStream(call) {
    serve(call, streamed(call), (done, fail) => {
      if (nameless(call.request, fail)) {
        return;
      }
      const echoes = Number(one(call.metadata, "want-replies") ?? 5);
      let number = 0;
      const flow = () => {
        while (number < echoes) {
          number += 1;
          const text = `${call.request.message} (echo ${number}/${echoes})`;
          if (!call.write(answer(call.request.stream_id, number, text))) {
            call.once("drain", flow);
            return;
          }
        }
        done();
      };
      flow();
    });
  },

  BidirectionalStream(call) {
    let received = 0;
    let failed = false;
    serve(call, streamed(call), (done, fail) => {
      call.on("data", (message) => {
        failed ||= nameless(message, fail);
        received += 1;
        if (!failed && !call.write(answer(message.stream_id, received, message.message))) {
          call.pause();
          call.once("drain", () => call.resume());
        }
      });
      call.on("end", () => failed || done());
    });
  },
};

const server = new grpc.Server();
server.addService(Server.service, handlers);
server.addService(StreamingServer.service, handlers);
const read = (file) => fs.readFileSync(file);
const credentials = cert
  ? grpc.ServerCredentials.createSsl(
      clientCa ? read(clientCa) : null,
      [{ cert_chain: read(cert), private_key: read(key) }],
      clientCa !== undefined,
    )
  : grpc.ServerCredentials.createInsecure();
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  if (error) {
    throw error;
  }
  say({ port });
});

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (JSON.parse(line).drain) {
      server.tryShutdown(() => say({ drained: true }));
    }
  })
  .on("close", () => {
    server.forceShutdown();
    process.exitCode = 0;
  });
