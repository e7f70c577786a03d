"""Mail clients that people use, each with every mechanism it has: how to make them fetch a maildrop and delete it."""
