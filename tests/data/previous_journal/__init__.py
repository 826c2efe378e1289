"""The journal's reader before runs had a dialect: modules of `mtmount_twisted.journal` at commit 422f20f.

They are unchanged, so that a test shows what that version does with a file of this version.
"""
