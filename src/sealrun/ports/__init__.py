"""Every port, on one page: services call these, adapters keep the promises that stand in the rooms below.

Errors: adapters translate every foreign exception into `sealrun.domain.errors`; nothing else escapes. Retries live
above the ports, in one layer: an adapter retries nothing on `Store.create`, since only the layer above can tell a
lost answer from a lost race (by the nonce in the record).
"""

from sealrun.ports.checks import SchemaLanguage, SignatureChecker, Signer
from sealrun.ports.destinations import Destination
from sealrun.ports.folders import (
    Ahead,
    Contents,
    Copying,
    FileFacts,
    FolderSeals,
    FolderSource,
    Hashed,
    OpenWriters,
    RunFolder,
    SetAside,
    SourceRemover,
    StagedPack,
    Survey,
    Tree,
    Watcher,
)
from sealrun.ports.journal import (
    Deliveries,
    Delivery,
    DeliveryState,
    Events,
    Facts,
    FolderRecord,
    Folders,
    FolderState,
    HashCache,
    Hints,
    Journal,
    Moments,
    QueueCount,
)
from sealrun.ports.mirrors import MirrorIncoming, MirrorPlace
from sealrun.ports.stores import (
    Capabilities,
    Creation,
    FileCache,
    Glimpse,
    Incoming,
    ObjectStat,
    RecordCache,
    Remover,
    Source,
    Stage,
    Store,
    Unfinished,
)
from sealrun.ports.surroundings import UNMETERED, Clock, Entropy, Meters, Progress, Replica

__all__ = [  # noqa: RUF022 - in the order in which they are best read
    # stores: where registries keep their bytes, and what removes, stages and caches them.
    "Creation",
    "ObjectStat",
    "Capabilities",
    "Source",
    "Incoming",
    "Stage",
    "Store",
    "Glimpse",
    "Unfinished",
    "Remover",
    "FileCache",
    "RecordCache",
    # folders on this machine: watched, scanned, hashed, sealed, reclaimed, restored to.
    "FileFacts",
    "Tree",
    "Survey",
    "RunFolder",
    "FolderSeals",
    "Ahead",
    "Copying",
    "StagedPack",
    "Hashed",
    "FolderSource",
    "Watcher",
    "SetAside",
    "Contents",
    "SourceRemover",
    "OpenWriters",
    "Destination",
    # the journal of this machine: one SQLite file. What is written is durable on return.
    "HashCache",
    "Hints",
    "FolderState",
    "FolderRecord",
    "Folders",
    "DeliveryState",
    "Delivery",
    "QueueCount",
    "Deliveries",
    "Events",
    "Facts",
    "Moments",
    "Journal",
    # mirrors: plain copies of runs at natural paths.
    "MirrorIncoming",
    "MirrorPlace",
    # schemas and signatures: what judges content and who signs it.
    "SchemaLanguage",
    "Signer",
    "SignatureChecker",
    # time, chance, onlookers and replicas: what else a service asks of its surroundings.
    "Replica",
    "Clock",
    "Entropy",
    "Progress",
    "Meters",
    "UNMETERED",
]
