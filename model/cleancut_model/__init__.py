"""The protocol of the transactional backup as one state machine, proved and explored."""
