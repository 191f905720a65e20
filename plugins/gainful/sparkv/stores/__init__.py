"""Stores of KV chunks, chosen by URL; clients of servers are imported when such a store is opened.

| scheme | class | what it promises |
| --- | --- | --- |
| `file` | `file.FileStore` | pins, evicts, atomic, many processes of one machine |
| `memory` | `memory.MemoryStore` | pins, evicts, one process |
| `redis`, `rediss` | `redis.RedisStore` | atomic; ages and capacity are the server's |
| `s3`, `gs`, `az` | `s3.ObjectStore` | atomic; lifecycle rules are the bucket's |
| `http`, `https` | `s3.ObjectStore` | read-only |
"""

from gainful.sparkv.stores.base import Buffer, ByteRange, Store, StoreStat
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.lease import Lease, Miss
from gainful.sparkv.stores.url import open_store, redacted

__all__ = ["Buffer", "ByteRange", "Deadline", "Lease", "Miss", "Store", "StoreStat", "open_store", "redacted"]
