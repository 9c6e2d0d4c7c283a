"""The only code that touches the outside world. Adapters know ports and nothing above them."""
