"""What users install is the wheel, not this folder."""


def test_the_wheel_works_beside_verl(wheel_beside):
    wheel_beside("verl")
