"""The programs of the library guide; the tests run each of them on trio and on asyncio."""
