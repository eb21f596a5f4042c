"""What `optgate check` looks at: each module finds something out and says it in a sentence an operator can act on."""
