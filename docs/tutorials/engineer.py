# %% [markdown]
# # Audit, mend, guard
#
# You have a network with heat maps. First: an audit, here of a small network on the shipped digits.

# %%
import torch
import torch.nn.functional as F

import holdfast as hf

torch.manual_seed(0)
train = hf.load_dataset("digits", "train")
images, labels = train.images.float() / 255, train.labels
model = hf.models.SmallCNN(image_size=8)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(30):
    rows = torch.randperm(len(images))[:64]
    optimizer.zero_grad()
    F.cross_entropy(model(images[rows]), labels[rows]).backward()
    optimizer.step()

# %% [markdown]
# Two explanations, one radius, a few images: enough to read the page, not to quote it. `out="audit"` would write `report.html`.

# %%
settings = hf.AuditSettings((hf.Saliency(), hf.GradCAM()), eps=(0.05,), images=2, certify=False)
test = hf.load_dataset("digits", "test").images[:2].float() / 255
before = hf.audit(model, test, settings)
print(before.verdict())
print(*before.next_steps(), sep="\n")

# %% [markdown]
# Mend: some steps of adversarial training with the regulariser, at the radius that you fear, over the explanation that you show.

# %%
objective = hf.IGR(hf.AT(hf.PGD(eps=0.05, alpha=0.02, steps=3)), attribution=hf.Saliency(), share=1 / 4)
for _ in range(20):
    rows = torch.randperm(len(images))[:64]
    optimizer.zero_grad()
    objective(model, images[rows], labels[rows]).loss.backward()
    optimizer.step()
after = hf.audit(model, test, settings)
print(f"least share of top features left: {before.score:.2f} before, {after.score:.2f} after")

# %% [markdown]
# Guard: the number that `holdfast audit --fail-under 0.8` compares is `score`; numbers for a dashboard are in `to_dict`.

# %%
print("would pass" if after.score >= 0.8 else "would fail", sorted(after.to_dict()))
