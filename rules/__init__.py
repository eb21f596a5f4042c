"""Rules: what a message asks for, and what is answered.

A text goes in, a decision comes out: which rule wins, and, when asked, why the others lost. Here live the comparison
of texts, the selection among rules, the built-in rules with their language packs, the default replies, and the words
that answer a question of ours (`answers`).
The room is pure (no clock, no database, no logger), owns no tables, and knows no other room.
"""
