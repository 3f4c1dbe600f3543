"""IGR in Lightning, on the shipped digits: ``pip install lightning``, ``python examples/lightning_igr.py``."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import holdfast as hf


class Robust(lightning.LightningModule):
    """Any network and any objective of Holdfast."""

    def __init__(self, model: torch.nn.Module, objective: hf.Objective, lr: float = 1e-3) -> None:
        super().__init__()
        self.model, self.objective, self.lr = model, objective, lr

    def training_step(self, batch, _):
        out = self.objective(self.model, *batch)
        self.log_dict({"loss": out.loss.detach(), **out.parts})
        return out.loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class AttributionRobustness(lightning.Callback):
    """Logs, after each epoch, the share of top-k features of a few images that stay under attack."""

    def __init__(self, images: torch.Tensor, attack: hf.AttributionAttack, k: int) -> None:
        self.images, self.attack, self.k = images, attack, k

    def on_train_epoch_end(self, trainer, module):
        images = self.images.to(module.device)
        with torch.no_grad():
            target = module.model(images).argmax(1)
        saliency = hf.Saliency()
        found = self.attack.run(module.model, images, target, attribution=saliency)
        maps, moved = saliency(module.model, images, target), saliency(module.model, found.adv_images, target)
        module.log("topk_under_attack", hf.topk_intersection(moved.abs(), maps.abs(), k=self.k).mean())


def main(epochs: int = 2, count: int = 512) -> dict:
    digits = hf.load_dataset("digits", "train").first(count)
    images = digits.images.float() / 255
    objective = hf.IGR(hf.TRADES(hf.TPGD(eps=0.1, alpha=0.03, steps=5), beta=6.0), lam=1.0, share=1 / 8)
    watch = AttributionRobustness(images[:8], hf.AutoIFIA(eps=0.1, k=8, budget="quick"), k=8)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[watch], logger=False, enable_checkpointing=False,
        enable_progress_bar=False,
    )  # fmt: skip
    loader = DataLoader(TensorDataset(images, digits.labels), batch_size=64, shuffle=True)
    trainer.fit(Robust(hf.models.SmallCNN(image_size=8), objective), loader)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    print(main())
