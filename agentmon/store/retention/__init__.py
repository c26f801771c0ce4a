"""Taking ended sessions out of the store, into archives or for good, and bringing them back."""
