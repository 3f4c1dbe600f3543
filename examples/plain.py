"""IGR in a plain PyTorch loop, on the shipped digits: ``python examples/plain.py``."""

import torch

import holdfast as hf


def main(steps: int = 50) -> float:
    model = hf.models.SmallCNN(image_size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    digits = hf.load_dataset("digits", "train")
    objective = hf.IGR(hf.TRADES(hf.TPGD(eps=0.1, alpha=0.03, steps=5), beta=6.0), lam=1.0, share=1 / 8)
    for step in range(steps):
        rows = torch.randperm(len(digits))[:64]
        out = objective(model, digits.images[rows].float() / 255, digits.labels[rows])
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(step, float(out.loss.detach()), {name: float(value) for name, value in out.parts.items()})
    return float(out.loss.detach())


if __name__ == "__main__":
    main()
