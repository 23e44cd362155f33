// A stock grpc-web client, Google's own, to be bundled for a page: `grpcWebCall(ORDER)` gives a promise of the outcome.
//
//   {"url": "http://...", "format": "text" | "binary", "path": "/test.Recorder/Unary", "stream": true,
//    "messages": ["BASE64"], "metadata": [["a", "b"]]}
//
// Messages and replies are octets in base64. Streams need `text`.
import grpcWeb from "grpc-web";

const octetsOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const textOf = (octets) => btoa(String.fromCharCode(...octets));

globalThis.grpcWebCall = (order) => {
  const { UNARY, SERVER_STREAMING } = grpcWeb.MethodType;
  const kind = order.stream ? SERVER_STREAMING : UNARY;
  const method = new grpcWeb.MethodDescriptor(order.path, kind, Object, Object, octetsOf, textOf);
  const client = new grpcWeb.GrpcWebClientBase({ format: order.format });
  const given = [order.url + order.path, order.messages[0], Object.fromEntries(order.metadata), method];
  const outcome = { code: 0, message: "", replies: [], initial: [], trailing: [], details: [] };
  return new Promise((resolve) => {
    const failed = (error) => {
      Object.assign(outcome, { code: error.code, message: error.message, trailing: Object.entries(error.metadata ?? {}) });
      resolve(outcome);
    };
    // The response's headers are sometimes told of only after its end.
    let ended = false;
    let headed = false;
    const seen = (what) => {
      ended ||= what === "end";
      headed ||= what === "metadata";
      if (ended && headed) resolve(outcome);
    };
    const begun = (metadata) => {
      outcome.initial = Object.entries(metadata);
      seen("metadata");
    };
    if (!order.stream) {
      const call = client.rpcCall(...given, (error, reply) => {
        if (error) {
          failed(error);
        } else {
          outcome.replies.push(reply);
        }
      });
      call.on("metadata", begun);
      call.on("status", (status) => (outcome.trailing = Object.entries(status.metadata ?? {})));
      call.on("end", () => seen("end"));
      return;
    }
    const call = client.serverStreaming(...given);
    call.on("data", (reply) => outcome.replies.push(reply));
    call.on("metadata", begun);
    call.on("status", (status) => {
      outcome.trailing = Object.entries(status.metadata ?? {});
      if (status.code === 0) seen("end");
    });
    call.on("error", failed);
    call.on("end", () => seen("end"));
  });
};
