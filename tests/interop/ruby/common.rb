# frozen_string_literal: true

# What client and server share: the echo services' messages, made of echo/pb/descriptors.binpb at run time, and messages
# and metadata as JSON. Nothing here is generated.

require "base64"
require "grpc"
require "google/protobuf"
require "json"

# A FileDescriptorSet is nothing but FileDescriptorProtos, each behind its tag (field 1, bytes) and its length.
def files_of(set)
  files = []
  until set.empty?
    raise "no FileDescriptorSet" unless set.getbyte(0) == 0x0a

    length = shift = 0
    position = 1
    loop do
      byte = set.getbyte(position)
      length |= (byte & 0x7f) << shift
      position += 1
      shift += 7
      break if byte < 0x80
    end
    files << set.byteslice(position, length)
    set = set.byteslice((position + length)..)
  end
  files
end

POOL = Google::Protobuf::DescriptorPool.new
files_of(File.binread(File.expand_path("../../../echo/pb/descriptors.binpb", __dir__))).each do |file|
  POOL.add_serialized_file(file)
end

def message_class(name)
  POOL.lookup(name).msgclass
end

Message = message_class("com.gopay.echo.Message")
Response = message_class("com.gopay.echo.Response")
StreamMessage = message_class("com.gopay.echo.streaming.StreamMessage")
StreamResponse = message_class("com.gopay.echo.streaming.StreamResponse")

# As proto-loader and the JSON mapping of protobuf have it: int64 are decimal strings.
def to_json_object(message)
  JSON.parse(message.class.encode_json(message, preserve_proto_fieldnames: true, emit_defaults: true))
end

def from_json_object(type, object)
  type.decode_json(JSON.generate(object))
end

# Metadata as a list of pairs; octets in base64.
def as_pairs(metadata)
  (metadata || {}).flat_map do |key, values|
    Array(values).map { |value| [key, key.end_with?("-bin") ? Base64.strict_encode64(value) : value] }
  end
end

def from_pairs(pairs)
  pairs.each_with_object({}) do |(key, value), metadata|
    (metadata[key] ||= []) << (key.end_with?("-bin") ? Base64.strict_decode64(value) : value)
  end
end

OUTPUT = Mutex.new

def say(object)
  OUTPUT.synchronize do
    $stdout.write("#{JSON.generate(object)}\n")
    $stdout.flush
  end
end
