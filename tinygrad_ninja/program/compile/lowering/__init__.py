"""From what was recorded to what is computed: primitive operations, without those that are not needed.

lower         an operation as simpler ones, by its own forward function; common subexpressions; `identities`
halves        float16 as float32, rounded
fewer_copies  for C: products and sums in forms of which less is copied
"""
