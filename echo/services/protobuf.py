"""protobuf's own message classes, for services where betterproto's would cost too much.

A request of a few megabytes can hold a million messages, and a response hundreds. protobuf's C library takes a
hundredth of the time for them.
"""

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


class Messages:
    """The classes of all messages in some files.

    Args:
        descriptors: A serialised ``FileDescriptorSet``, imports included and before what imports them.
    """

    def __init__(self, descriptors: bytes) -> None:
        self._pool = DescriptorPool()  # The process-wide one may hold other files of the same names.
        for file in FileDescriptorSet.FromString(descriptors).file:
            self._pool.AddSerializedFile(file.SerializeToString())

    def __call__(self, name: str) -> type[Message]:
        """The class of a message by its full name.

        Raises:
            KeyError: There is no such message.
        """
        return GetMessageClass(self._pool.FindMessageTypeByName(name))
