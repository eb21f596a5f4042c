"""The catalogues of the texts that customers read, and what brings them up to date (`build`)."""
