"""What a registry knows beyond bytes: schemas, validation, signatures, lineage, catalogues, derived outputs."""
