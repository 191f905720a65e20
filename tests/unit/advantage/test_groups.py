import torch

from gainful.advantage.groups import group_rows


def test_mean_and_population_variance_over_scattered_huge_and_negative_ids():
    groups = group_rows(torch.tensor([10**12, -5, 10**12, 10**12, -5]))
    values = torch.tensor([1.0, 2.0, 4.0, 1.0, 2.0])
    # -5: 2, 2; 10^12: 1, 4, 1 with mean 2 and variance (1 + 4 + 1) / 3
    assert groups.size.tolist() == [2, 3]
    assert groups.index.tolist() == [1, 0, 1, 1, 0]
    assert groups.mean(values).tolist() == [2.0, 2.0]
    assert groups.variance(values).tolist() == [0.0, 2.0]


def test_statistics_of_half_precision_values_are_float64():
    groups = group_rows(torch.zeros(3, dtype=torch.int64))
    # 2048 + 1 is not a float16: in half precision the sum would lose the ones
    assert groups.mean(torch.tensor([2048.0, 1.0, 1.0], dtype=torch.float16)).item() == 2050 / 3


def test_bool_values_are_counted():
    groups = group_rows(torch.tensor([4, 4, 9]))
    assert groups.total(torch.tensor([True, True, False])).tolist() == [2, 0]


def test_no_rows_give_no_groups():
    groups = group_rows(torch.zeros(0, dtype=torch.int64))
    assert groups.mean(torch.zeros(0)).shape == (0,)
