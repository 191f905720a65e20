"""What users install is the wheel, not this folder."""


def test_the_wheel_works_beside_vllm(wheel_beside):
    wheel_beside("vllm")
