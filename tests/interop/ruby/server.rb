# frozen_string_literal: true

# A stock server of Ruby's gRPC, of the echo contract, on a free port of the loopback. It does what a call's metadata ask
# for, takes the same lines of JSON as tests/interop/node/server.js and says alike; but "cancelled" it cannot tell, as
# Ruby's handlers are not: one that receives is told of an end.
#
# Arguments: [CERT-FILE KEY-FILE [CLIENT-CA-FILE]].

require_relative "common"

CALLS = Queue.new # Their numbers.
(1..100_000).each { |number| CALLS << number }

# Seconds that the call still has; nil for any number. Ruby has a moment before 1970 for a deadline that never comes.
def time_remaining(call)
  call.deadline.to_i.negative? ? nil : call.deadline - Time.now
end

def with_prefix(metadata, prefix)
  metadata.select { |key, _| key.start_with?(prefix) }
end

# Around each handler: tell what it sees, and do what every handler may be asked for. Gives what the block gives.
def serve(call)
  number = CALLS.pop
  metadata = call.metadata
  say(call: number, saw: "started", metadata: as_pairs(metadata), timeout: time_remaining(call))
  call.send_initial_metadata(with_prefix(metadata, "initial-"))
  trailing = with_prefix(metadata, "trailing-")
  call.output_metadata.update(trailing)
  say(call: number, saw: "waiting") if metadata.key?("want-wait")
  answer = yield metadata
  code = metadata.fetch("want-status", "0").to_i
  return answer if code.zero?

  trailing["grpc-status-details-bin"] = metadata["want-status-details-bin"]
  raise GRPC::BadStatus.new(code, metadata["want-status-message-bin"], trailing)
ensure
  say(call: number, saw: "ended")
end

def check(message)
  return unless message.stream_id.empty?

  raise GRPC::BadStatus.new(GRPC::Core::StatusCodes::INVALID_ARGUMENT, "stream_id is required")
end

def answer(stream_id, number, text)
  StreamResponse.new(
    stream_id: stream_id,
    sequence_number: number,
    timestamp: Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond),
    response: "from server: #{text}",
    success: true,
  )
end

# The unary service.
class Echo
  include GRPC::GenericService

  self.marshal_class_method = :encode
  self.unmarshal_class_method = :decode
  self.service_name = "com.gopay.echo.Server"
  rpc :GetReply, Message, Response

  def get_reply(request, call)
    serve(call) { Response.new(success: true, response: "from server:#{request.message}") }
  end
end

# The streaming service.
class Streaming
  include GRPC::GenericService

  self.marshal_class_method = :encode
  self.unmarshal_class_method = :decode
  self.service_name = "com.gopay.echo.streaming.StreamingServer"
  rpc :ClientStream, stream(StreamMessage), StreamResponse
  rpc :ServerStream, StreamMessage, stream(StreamResponse)
  rpc :BidirectionalStream, stream(StreamMessage), stream(StreamResponse)

  def client_stream(call)
    serve(call) do
      received = 0
      stream_id = ""
      call.each_remote_read do |message|
        check(message)
        stream_id = message.stream_id if stream_id.empty?
        received += 1
      end
      answer(stream_id, received, "received #{received} messages")
    end
  end

  def server_stream(request, call)
    Enumerator.new do |out|
      serve(call) do |metadata|
        check(request)
        echoes = metadata.fetch("want-replies", "5").to_i
        (1..echoes).each do |number|
          out << answer(request.stream_id, number, "#{request.message} (echo #{number}/#{echoes})")
        end
      end
    end
  end

  def bidirectional_stream(requests, call)
    Enumerator.new do |out|
      serve(call) do
        requests.each.with_index(1) do |message, number|
          check(message)
          out << answer(message.stream_id, number, message.message)
        end
      end
    end
  end
end

cert, key, client_ca = ARGV
read = ->(file) { File.read(file) }
credentials = :this_port_is_insecure
if cert
  pair = { private_key: read[key], cert_chain: read[cert] }
  credentials = GRPC::Core::ServerCredentials.new(client_ca && read[client_ca], [pair], !client_ca.nil?)
end
server = GRPC::RpcServer.new(pool_size: 30, poll_period: 30)
port = server.add_http2_port("127.0.0.1:0", credentials)
server.handle(Echo)
server.handle(Streaming)
Thread.new { server.run }
server.wait_till_running
say(port: port)

$stdin.each_line do |line|
  next unless JSON.parse(line)["drain"]

  Thread.new do
    server.stop
    say(drained: true)
  end
end
