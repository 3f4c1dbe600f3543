# %% [markdown]
# # The paper in numbers
#
# The equations of Wang and Kong (NeurIPS 2022), each computed on a small network and the shipped digits.

# %%
import torch

import holdfast as hf

torch.manual_seed(0)
model = hf.models.SmallCNN(image_size=8)
torch.nn.init.normal_(model.fc3.weight, std=0.1)
digits = hf.load_dataset("digits", "test").first(8)
x = digits.images.float() / 255
y = model(x).argmax(1)

# %% [markdown]
# **Eq. 1 and 4.** Integrated gradients add up to the difference of the logit between image and black, the better the more points.

# %%
with torch.no_grad():
    rise = (model(x) - model(torch.zeros_like(x))).gather(1, y[:, None])[:, 0]
for points in (5, 50):
    maps = hf.integrated_gradients(model, x, y, n_steps=points, method="riemann_right")
    print(points, "points: largest gap", float((maps.flatten(1).sum(1) - rise).abs().max()))

# %% [markdown]
# **Eq. 2.** Pairs tied in one map count against Eq. 2 as printed, and not against τ-b.

# %%
a, b = torch.tensor([[1.0, 2.0, 3.0, 3.0]]), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
print("Eq. 2", float(hf.kendall_tau(a, b, variant="a")), " tau-b", float(hf.kendall_tau(a, b)))

# %% [markdown]
# **Eq. 3.** The regulariser compares the maps of an image and of the attacked one; it can be differentiated to the weights.

# %%
x_adv = hf.PGD(eps=0.1, alpha=0.03, steps=5)(model, x, y)
penalty = hf.igr_penalty(model, x, x_adv, y, n_steps=10).mean()
penalty.backward()
print("penalty", float(penalty.detach()), " gradient", float(model.fc3.weight.grad.norm()))

# %% [markdown]
# **IFIA.** The paper's attack lowers the shares of the top features and keeps the prediction.

# %%
path = hf.IntegratedGradients(n_steps=5)
attack = hf.IFIA(eps=0.1, alpha=0.02, steps=10, k=8, attribution=path)
found = attack.run(model, x, y)
moved, clean = path(model, found.adv_images, y).abs(), path(model, x, y).abs()
print(
    "tau", float(hf.kendall_tau(moved, clean).mean()), " top-8", float(hf.topk_intersection(moved, clean, k=8).mean())
)

# %% [markdown]
# **Eq. 6.** Units active at both images, beside those active at each.

# %%
print("activation consistency", hf.activation_consistency(model, x, x_adv).mean().item())

# %% [markdown]
# **Theorem 1**, on random vectors: what holds, and what a counterexample refutes. At this scale not every verdict is certain.

# %%
from holdfast.paper.theory.theorem1 import theorem1

for claim in theorem1(scale=0.02):
    print(f"{claim.verdict}: {claim.statement}")
