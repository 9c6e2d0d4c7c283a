"""Language models: which one is chosen, how it is asked, what its errors mean."""
