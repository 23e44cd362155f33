// Calls by @connectrpc/connect, whatever the transport: what connect_client.mjs does in Node.js and connect_web.mjs in a
// browser. An order is an object:
//
//   {"path": "/test.Recorder/Bidi", "messages": [{...}], "metadata": [["a", "b"]], "timeout": 2.5, "cancel": 1}
//
// Messages and replies are in protobuf's JSON mapping, octets of metadata in base64. `cancel` aborts the call after so
// many replies. A message of a stream goes out when the last one was answered, if the method answers each.
import { create, createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";

export function registryOf(octets) {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, octets));
}

const padded = (text) => text.padEnd(Math.ceil(text.length / 4) * 4, "=");
const pairs = (headers) => [...headers].map(([name, value]) => [name, name.endsWith("-bin") ? padded(value) : value]);

export async function call(registry, transport, order) {
  const [, serviceName, methodName] = order.path.split("/");
  const service = registry.getService(serviceName);
  const method = service.methods.find((found) => found.name === methodName);
  const client = createClient(service, transport);
  const outcome = { code: 0, message: "", replies: [], initial: [], trailing: [], details: [] };
  const abort = new AbortController();
  const options = {
    signal: abort.signal,
    headers: order.metadata ?? [],
    timeoutMs: order.timeout === undefined ? undefined : order.timeout * 1000,
    onHeader: (headers) => (outcome.initial = pairs(headers)),
    onTrailer: (trailers) => (outcome.trailing = pairs(trailers)),
  };
  const requests = (order.messages ?? [{}]).map((message) => fromJson(method.input, message));
  let answered = () => {};
  const took = (reply) => {
    outcome.replies.push(toJson(method.output, reply, { alwaysEmitImplicit: true, useProtoFieldName: true }));
    if (outcome.replies.length === order.cancel) {
      abort.abort();
    }
    answered();
  };
  async function* inTurn() {
    for (const request of requests) {
      const answer = new Promise((resolve) => (answered = resolve));
      yield request;
      if (method.methodKind === "bidi_streaming") {
        await answer;
      }
    }
  }
  try {
    if (method.methodKind === "unary") {
      took(await client[method.localName](requests[0] ?? create(method.input), options));
    } else if (method.methodKind === "client_streaming") {
      took(await client[method.localName](inTurn(), options));
    } else {
      const sent = method.methodKind === "bidi_streaming" ? inTurn() : requests[0];
      for await (const reply of client[method.localName](sent, options)) {
        took(reply);
      }
    }
  } catch (failure) {
    const error = ConnectError.from(failure);
    outcome.code = error.code;
    outcome.message = error.rawMessage;
    outcome.trailing = pairs(error.metadata);
    outcome.details = error.details.map((detail) => detail.type);
  }
  return outcome;
}
