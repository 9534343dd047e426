from jaxaction.report.curves import charts

LOSS = {1: 2.0, 2: 1.0}


def titles_and_names(curves):
    """The curves of each chart, without their last values."""
    return {
        chart.find("figcaption").text: [item.text.rpartition(" ")[0] for item in chart.iter("li")]
        for chart in charts(curves)
    }


def test_the_only_part_of_a_loss_is_left_out():
    curves = {"train/loss/cross_entropy": LOSS, "train/loss": LOSS}
    assert titles_and_names(curves) == {"Loss": ["loss"]}


def test_several_parts_of_a_loss_share_its_chart():
    curves = {"train/loss/cross_entropy": LOSS, "train/loss/auxiliary": LOSS, "train/loss": LOSS}
    names = ["train cross entropy", "train auxiliary", "train loss"]
    assert titles_and_names(curves) == {"Loss": names}


def test_training_and_validation_share_the_chart_of_a_quantity():
    curves = {"train/loss": LOSS, "val/loss": LOSS, "train/accuracy": LOSS, "val/top1": LOSS}
    assert list(titles_and_names(curves)) == ["Loss", "Accuracy"]
    assert titles_and_names(curves)["Loss"] == ["train loss", "val loss"]
