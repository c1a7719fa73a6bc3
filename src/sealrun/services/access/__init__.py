"""From a name to bytes: records, files and members of packs, read, restored and mirrored."""
