"""Data: what people have, read, checked, tokenised, ordered, packed and made into batches."""
