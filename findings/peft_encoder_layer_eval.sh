#!/usr/bin/env bash
# torch 2.13.0, peft 0.21.2, numpy 2.4.6
#
# Guess, written down before: even odds that torch sees adapters (LoRA) in linear1 and linear2 of a
# TransformerEncoderLayer and leaves its fast path; if it does not, then under no_grad alone, where the fast path is meant
# to be taken.
# Seen: it does not, and not under no_grad alone. In training mode adapters count, so that the loss falls. After eval()
# the outputs are to the last bit those of the model without adapters, with gradients enabled too, for torch looks
# whether weights require gradients, and sees the frozen ones. peft and torch say nothing. After merge_and_unload() they
# count. With adapters in attention's out_proj nothing is ever trained, in training mode either, without a word where
# other layers have adapters besides ("all-linear" takes it in).
# Who is hurt: whoever fine-tunes an encoder of torch's own transformer layers (batch_first) with LoRA: validation does not
# move from epoch to epoch, and vectors that are computed with the adapters are the pre-trained model's.
# What to do: torch.backends.mha.set_fastpath_enabled(False), or merge before evaluating; adapters not in out_proj, but in
# a layer whose forward calls it. Compare one vector with adapters and with disable_adapter().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 peft==0.21.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

SIZE, SPEAKERS, FRAMES, NOISE = 64, 8, 50, 20
torch.manual_seed(0)
torch.set_num_threads(1)
voices = torch.randn(SPEAKERS, 1, SIZE)


class Encoder(nn.Module):
    """Two transformer layers and the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(SIZE, 4, 128, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.layers(frames).mean(dim=1), dim=-1)


def batch(utterances: int) -> tuple[torch.Tensor, torch.Tensor]:
    speakers = torch.arange(SPEAKERS).repeat_interleave(utterances)
    return voices[speakers] + NOISE * torch.randn(len(speakers), FRAMES, SIZE), speakers


def loss_of(model: nn.Module, frames: torch.Tensor, speakers: torch.Tensor) -> torch.Tensor:
    """Of telling for each vector which speaker's center it is nearest to."""
    vectors = model(frames)
    centers = nn.functional.normalize(torch.stack([vectors[speakers == n].mean(dim=0) for n in range(SPEAKERS)]), dim=-1)
    return nn.functional.cross_entropy(20 * vectors @ centers.T, speakers)


model = get_peft_model(Encoder(), LoraConfig(r=8, lora_alpha=32, target_modules=["linear1", "linear2"]))
optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
model.train()
for step in range(81):
    loss = loss_of(model, *batch(6))
    if step % 40 == 0:
        print(f"step {step}: loss {loss.item():.2f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

frames, speakers = batch(20)
with torch.no_grad():
    in_training = loss_of(model, frames, speakers).item()
    in_eval = loss_of(model.eval(), frames, speakers).item()
    with model.disable_adapter():
        base = loss_of(model, frames, speakers).item()
    print(f"fresh batch: loss {in_training:.2f} in training mode, {in_eval:.2f} after eval(), {base:.2f} without adapters")
    model.train()
    trained = model(frames)  # still in training mode; there is no dropout
    model.eval()
    seen = model(frames)
    with model.disable_adapter():
        without = model(frames)
    torch.backends.mha.set_fastpath_enabled(False)
    slow = model(frames)
    torch.backends.mha.set_fastpath_enabled(True)
with_gradients = model(frames).detach()
merged = model.merge_and_unload().eval()
with torch.no_grad():
    merged_vectors = merged(frames)
found = {"eval()": seen, "eval() with gradients": with_gradients, "eval() without fast path": slow, "merged": merged_vectors}
ok = True
for name, vectors in found.items():
    to_trained, to_base = ((vectors - other).abs().max().item() for other in (trained, without))
    print(f"{name}: largest difference to the trained model {to_trained:.1g}, to the model without adapters {to_base:.1g}")
    ok &= (to_base == 0 and to_trained > 0.01) if name.startswith("eval()") and "path" not in name else to_trained < 1e-5

everything = get_peft_model(Encoder(), LoraConfig(r=8, target_modules="all-linear")).train()
loss_of(everything, *batch(6)).backward()
unused = sorted({name.split(".lora_")[0].split(".")[-1] for name, parameter in everything.named_parameters()
                 if parameter.requires_grad and parameter.grad is None})
print(f"all-linear: no gradients for the adapters of {', '.join(unused)}")
sys.exit(0 if ok and unused == ["out_proj"] else "the behavior has changed: adapters count after eval(), or in out_proj")
PYTHON
