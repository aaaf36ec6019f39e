"""What is asked: question sets by name, from files and from the hub.

Begin with `datasets`, which gives a `QuestionSet` (`question_set`) for any name. Users' rows go through `tables`,
`question_files` and `cells`; the suite's own sets come from GeoNames (`cities`, `us_cities`, `country_questions`).
"""
