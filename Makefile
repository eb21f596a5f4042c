# Aliases; dev.py does the work. Arguments: make test ARGS="tests/rules -k stop"
.PHONY: setup run test lint bench torture
setup run test lint bench torture:
	@python3 dev.py $@ $(ARGS)
