"""IGR in a Hugging Face ``Trainer``: ``pip install transformers accelerate``, ``python examples/huggingface_igr.py``.

The network is a small untrained ViT made from a configuration; a real one needs ``from_pretrained`` in its place.
"""

import tempfile

import torch
import transformers

import holdfast as hf


class RobustTrainer(transformers.Trainer):
    """A Trainer whose loss is an objective of Holdfast; ``pixel_values`` are images in [0, 1]."""

    def __init__(self, *args, objective: hf.Objective, mean=0.5, std=0.5, **options) -> None:
        super().__init__(*args, **options)
        self.objective, self.mean, self.std = objective, mean, std

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        network = hf.Normalized(hf.Logits(model), self.mean, self.std).to(inputs["labels"].device)
        network.train(model.training)
        loss = self.objective(network, inputs["pixel_values"], inputs["labels"]).loss
        return (loss, model(inputs["pixel_values"])) if return_outputs else loss


def main(steps: int = 4, count: int = 64) -> list[float]:
    digits = hf.load_dataset("digits", "train").first(count)
    images = digits.images.float() / 255
    data = [{"pixel_values": x, "labels": int(y)} for x, y in zip(images, digits.labels, strict=True)]
    config = transformers.ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, num_labels=10, hidden_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config)
    attribution = hf.IntegratedGradients(n_steps=3, method="riemann_right")
    objective = hf.IGR(hf.AT(hf.PGD(eps=0.1, alpha=0.05, steps=3)), lam=1.0, attribution=attribution, share=1 / 4)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=16, use_cpu=True, report_to=[], save_strategy="no",
            logging_steps=1, learning_rate=1e-3, disable_tqdm=True,
        )  # fmt: skip
        trainer = RobustTrainer(model, arguments, train_dataset=data, objective=objective)
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    torch.manual_seed(0)
    print(main())
