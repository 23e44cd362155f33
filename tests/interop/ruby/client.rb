# frozen_string_literal: true

# A stock client of Ruby's gRPC. It takes the same lines of JSON as tests/interop/node/client.js and answers alike.
#
# Arguments: ADDRESS [CA-FILE [CERT-FILE KEY-FILE]].

require_relative "common"

address, ca, cert, key = ARGV
read = ->(file) { file && File.read(file) }
CREDENTIALS = ca ? GRPC::Core::ChannelCredentials.new(read[ca], read[key], read[cert]) : :this_channel_is_insecure
STUB = GRPC::ClientStub.new(address, CREDENTIALS)

ENCODE = ->(message) { message.class.encode(message) }
KINDS = {
  "UNARY_UNARY" => :request_response,
  "STREAM_UNARY" => :client_streamer,
  "UNARY_STREAM" => :server_streamer,
  "STREAM_STREAM" => :bidi_streamer,
}.freeze

# The client's side of a call: what is put into the queue, until :end.
def requests_from(queue)
  Enumerator.new do |out|
    while (message = queue.pop) != :end
      out << message
    end
  end
end

def messages_of(order, type)
  messages = (order["messages"] || []).map { |message| from_json_object(type, message) }
  (1..order.fetch("numbered", 0)).each do |number|
    messages << type.new(stream_id: "a", sequence_number: number, message: "m")
  end
  messages
end

def operation(order, request, reply_type)
  deadline = order["timeout"] ? Time.now + order["timeout"] : Time.now + 60
  STUB.public_send(
    KINDS.fetch(order["kind"]), order["path"], request, ENCODE, reply_type.method(:decode),
    deadline: deadline, return_op: true, metadata: from_pairs(order["metadata"] || []),
  )
end

RUNNING = {}

def start(order)
  unary = order["path"] == "/com.gopay.echo.Server/GetReply"
  type, reply_type = unary ? [Message, Response] : [StreamMessage, StreamResponse]
  messages = messages_of(order, type)
  streams = order["kind"].start_with?("STREAM")
  queue = Queue.new
  if order["pingpong"]
    queue << (messages.shift || :end)
  elsif streams
    messages.each { |message| queue << message }
    queue << :end unless order["open"]
  end
  op = operation(order, streams ? requests_from(queue) : messages.first || type.new, reply_type)
  begun = Queue.new
  RUNNING[order["id"]] = [op, queue, begun]
  Thread.new { follow(order, op, messages, queue, begun) }
end

def follow(order, operation, messages, queue, begun)
  outcome = { id: order["id"], code: 0, details: "", replies: [] }
  begin
    answer = operation.execute
    (answer.is_a?(Enumerator) ? answer : [answer]).each do |reply|
      begun << true if outcome[:replies].empty?
      outcome[:replies] << to_json_object(reply)
      queue << (messages.shift || :end) if order["pingpong"]
    end
  rescue GRPC::BadStatus => e
    outcome.merge!(code: e.code, details: e.details.dup.force_encoding("UTF-8"))
  rescue GRPC::Core::CallError => e
    # Ruby asks twice for the head of a server's stream that failed before its head came, and is told that no status.
    outcome.merge!(code: -1, details: e.message)
  end
  queue << :end
  outcome.merge!(initial: as_pairs(operation.metadata), trailing: as_pairs(operation.trailing_metadata))
  say(outcome)
end

$stdin.each_line do |line|
  order = JSON.parse(line)
  if order.key?("cancel")
    operation, queue, begun = RUNNING.fetch(order["cancel"])
    begun.pop if order["begun"] # Until a reply has been read; which status Ruby has for the call depends on that.
    operation.cancel
    queue << :end # A call that sends only hears of its end when it sends again.
  else
    start(order)
  end
end
