# Aliases; dev.py does the work. Arguments: make test ARGS="tests/rules -k stop"
.PHONY: setup run test lint bench
setup run test lint bench:
	@python3 dev.py $@ $(ARGS)
