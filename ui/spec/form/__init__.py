"""A spec as a form and back, without loss: pure functions between the text of a spec, its tree, and single fields.

The text is the truth. A form shows what the text says and changes it a field at a time; what no field shows stays as it
stands, and so do comments.
"""
