"""What is answered: generated, read, judged, and kept.

Begin with `answers`. A question is put as `prompts` has it, the model goes on from there (`generation`,
`continuations`), `extraction` finds the exact answer without the correct one, and `grading` judges it afterwards.
"""
