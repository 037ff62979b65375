"""What the paper prints, as data: tables, hyper-parameters, figures of the text, and its errata.

Nothing here is computed and nothing is corrected: a misprint stands as printed, and `ERRATA` says
how it is read. Percentages and scores are in the unit of the table they come from; decimal commas
are points.
"""

TITLE = "A reliable approach for identifying acute lymphoblastic leukemia in microscopic imaging"
DOI = "10.3389/frai.2025.1620252"
CITATION = (
    "Makem M, Tamas L and Buşoniu L (2025) A reliable approach for identifying acute "
    "lymphoblastic leukemia in microscopic imaging. Front. Artif. Intell. 8:1620252. "
    "doi: 10.3389/frai.2025.1620252"
)

HEADLINE = {"accuracy_percent": 95.33, "f1": 0.95}
"""Abstract: average over the three folds, on the held-out test images."""

DATASET = {
    "training": {
        "images": 10_661,
        "ALL": {"images": 7272, "subjects": 47},
        "HEM": {"images": 3389, "subjects": 26},
    },
    "preliminary": {
        "ALL": {"images": 1219, "subjects": 13},
        "HEM": {"images": 648, "subjects": 15},
    },
    "final": {"images": 2586, "ALL": {"subjects": 9}, "HEM": {"subjects": 8}},
}
"""Section 3.1."""

SPLIT_PERCENT = {"train": 70, "val": 10, "test": 20}
"""Section 3.2."""

TABLE_1 = {
    0: {
        "ALL": {"train": 1677, "val": 239, "test": 481, "total": 2397},
        "HEM": {"train": 791, "val": 113, "test": 226, "total": 1130},
    },
    1: {
        "ALL": {"train": 1692, "val": 241, "test": 485, "total": 2418},
        "HEM": {"train": 814, "val": 116, "test": 233, "total": 1163},
    },
    2: {
        "ALL": {"train": 1719, "val": 245, "test": 493, "total": 2457},
        "HEM": {"train": 767, "val": 109, "test": 220, "total": 1096},
    },
}
"""Images by fold, class and part."""

TABLE_2 = {
    0: {"before": 791, "after": 1582},
    1: {"before": 814, "after": 1628},
    2: {"before": 767, "after": 1534},
}
"""HEM training images by fold, before and after balancing."""

IMAGE_SIZE = 224
"""Section 3.2: pixels per side, after a centre crop whose size is not given."""

TRAIN_SIGMAS = (3, 9)
"""Section 3.3: standard deviations of the noise in training, in grey levels of 0-255."""

TEST_SIGMAS = (0, 2, 5, 8, 10)
"""Tables 6-8: standard deviations of the noise at test, in grey levels of 0-255."""

AUGMENTATION = {
    "rotation": 45,
    "horizontal_flip": True,
    "brightness": (0.4, 0.8),
    "width_shift": 0.1,
    "height_shift": 0.1,
    "zoom": (0.8, 1.0),
    "shear": 3,
    "rescale": 1 / 255,
}
"""Section 3.3: rotation and shear in degrees, shifts in shares of the side, brightness and zoom as
ranges of a factor."""

TABLE_3 = (
    {"type": "Conv/s2", "filter": "3×3×3×32", "input": "224×224×3"},
    {"type": "Conv dw/s1", "filter": "3×3×32 dw", "input": "112×112×32"},
    {"type": "Conv/s1", "filter": "1×1×32×64", "input": "112×112×32"},
    {"type": "Conv dw/s2", "filter": "3×3×64 dw", "input": "112×112×64"},
    {"type": "Conv/s1", "filter": "1×1×32×128", "input": "56×56×128"},
    {"type": "Conv dw/s1", "filter": "3×3×128 dw", "input": "56×56×128"},
    {"type": "Conv/s1", "filter": "1×1×32×128", "input": "56×56×128"},
    {"type": "Conv dw/s2", "filter": "3×3×128 dw", "input": "56×56×128"},
    {"type": "Conv/s1", "filter": "1×1×32×256", "input": "28×28×128"},
    {"type": "Conv dw/s1", "filter": "3×3×256 dw", "input": "28×28×256"},
    {"type": "Conv/s1", "filter": "1×1×32×256", "input": "28×28×256"},
    {"type": "Conv dw/s2", "filter": "3×3×256 dw", "input": "28×28×256"},
    {"type": "Conv/s1", "filter": "1×1×32×512", "input": "14×14×256"},
    {"type": "Conv dw/s1", "filter": "3×3×512 dw", "input": "14×14×512"},
    {"type": "Conv/s1", "filter": "1×1×512×512", "input": "14×14×512"},
    {"type": "Conv dw/s2", "filter": "3×3×512 dw", "input": "14×14×512"},
    {"type": "Conv/s1", "filter": "1×1×512×1024", "input": "7×7×512"},
    {"type": "Conv dw/s2", "filter": "3×3×1024 dw", "input": "7×7×1024"},
    {"type": "Conv/s1", "filter": "1×1×1024×1024", "input": "7×7×1024"},
    {"type": "Avrg pool/s1", "filter": "Pool 7×7", "input": "1×1×1000"},
    {"type": "FC/s1", "filter": "11024×1000", "input": "1×1×1024"},
    {"type": "Softmax/s1", "filter": "Classifier", "input": "1×1×1000"},
)
"""Layers of MobileNet, misprints included; see `ERRATA`."""

TABLE_3_NOTE = {
    "parameters": 4_253_864,
    "trainable": 4_231_976,
    "non_trainable": 21_888,
    "size_mb": 16,
}

TABLE_4 = (
    {"layer": "MobileNet", "output_shape": (7, 7, 1024), "parameters": 3_228_864},
    {"layer": "GlobalAveragePooling", "output_shape": (1024,), "parameters": 0},
    {"layer": "Flatten", "output_shape": (1024,), "parameters": 0},
    {"layer": "Dropout", "output_shape": (1024,), "parameters": 0},
    {"layer": "Batch normalization", "output_shape": (1024,), "parameters": 4096},
    {"layer": "Dense", "output_shape": (2,), "parameters": 2050},
)
"""Layers of MobileNet_M; shapes without the batch axis."""

TABLE_4_NOTE = {
    "parameters": 3_235_010,
    "trainable": 3_211_074,
    "non_trainable": 23_936,
    "gpu_memory_mb": 6.2,
    "size_mb": 12.3406,
}

TABLE_5 = {
    "Epochs": "100",
    "Patience of early stopping": "20",
    "Patience of learning rate control": "5",
    "Optimizer": "Adam",
    "Batch size": "16",
    "Loss": "Categorical cross entropy",
    "Learning rate": "0.001 to 0.000001",
    "L1 regularization": "0.015",
}

HYPERPARAMETERS = {
    "epochs": 100,
    "early_stop": 20,
    "lr_patience": 5,
    "lr_factor": 0.1,
    "optimizer": "adam",
    "batch_size": 16,
    "loss": "categorical_crossentropy",
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-6,
    "l1": 0.015,
}
"""Table 5 as values, with the factor of section 3.6."""

TRAINING = {
    0: {"converged_epoch": 16, "stopped_epoch": 30, "accuracy_percent": 95.83},
    1: {"converged_epoch": 23, "stopped_epoch": 60, "accuracy_percent": 96.60},
    2: {"converged_epoch": 27, "stopped_epoch": 40, "accuracy_percent": 94.24},
}
"""Section 4.2, by fold: epoch at which the validation loss meets the training loss, epoch of early
stopping (about 40 in fold 2), average training accuracy."""

TABLE_6 = {
    0: {"precision": 0.96, "recall": 0.95, "f1": 0.96, "accuracy": 0.96, "auc": 0.954},
    2: {"precision": 0.95, "recall": 0.95, "f1": 0.95, "accuracy": 0.96, "auc": 0.952},
    5: {"precision": 0.94, "recall": 0.95, "f1": 0.95, "accuracy": 0.95, "auc": 0.950},
    8: {"precision": 0.96, "recall": 0.94, "f1": 0.95, "accuracy": 0.96, "auc": 0.941},
    10: {"precision": 0.96, "recall": 0.92, "f1": 0.94, "accuracy": 0.95, "auc": 0.924},
}
"""Test scores in fold 0 by sigma. Precision, recall and F1 are macro averages, and ``auc`` is
balanced accuracy, though the paper does not say so; see `ERRATA`."""

TABLE_7 = {
    0: {"precision": 0.95, "recall": 0.95, "f1": 0.95, "accuracy": 0.96, "auc": 0.948},
    2: {"precision": 0.97, "recall": 0.96, "f1": 0.96, "accuracy": 0.97, "auc": 0.955},
    5: {"precision": 0.95, "recall": 0.94, "f1": 0.95, "accuracy": 0.95, "auc": 0.940},
    8: {"precision": 0.96, "recall": 0.94, "f1": 0.94, "accuracy": 0.95, "auc": 0.936},
    10: {"precision": 0.96, "recall": 0.93, "f1": 0.94, "accuracy": 0.95, "auc": 0.928},
}
"""Test scores in fold 1 by sigma, as `TABLE_6`."""

TABLE_8 = {
    0: {"precision": 0.93, "recall": 0.94, "f1": 0.94, "accuracy": 0.94, "auc": 0.941},
    2: {"precision": 0.95, "recall": 0.95, "f1": 0.95, "accuracy": 0.96, "auc": 0.948},
    5: {"precision": 0.92, "recall": 0.93, "f1": 0.93, "accuracy": 0.94, "auc": 0.929},
    8: {"precision": 0.94, "recall": 0.93, "f1": 0.93, "accuracy": 0.94, "auc": 0.928},
    10: {"precision": 0.94, "recall": 0.92, "f1": 0.93, "accuracy": 0.94, "auc": 0.924},
}
"""Test scores in fold 2 by sigma, as `TABLE_6`."""

TIME_PER_IMAGE_MS = {"personal computer": 4.92, "Google Colab": 44.68}
"""Section 4.3: prediction time per image; neither hardware nor batch is given."""

TABLE_9 = {
    0: {
        "MCN": {
            "precision_all": 0.97,
            "precision_hem": 0.42,
            "precision_weighted": 0.79,
            "accuracy": 0.57,
            "auc": 0.675,
        },
        "MAC": {
            "precision_all": 0.97,
            "precision_hem": 0.95,
            "precision_weighted": 0.96,
            "accuracy": 0.96,
            "auc": 0.954,
        },
    },
    1: {
        "MCN": {
            "precision_all": 0.98,
            "precision_hem": 0.51,
            "precision_weighted": 0.83,
            "accuracy": 0.69,
            "auc": 0.767,
        },
        "MAC": {
            "precision_all": 0.96,
            "precision_hem": 0.94,
            "precision_weighted": 0.96,
            "accuracy": 0.96,
            "auc": 0.948,
        },
    },
    2: {
        "MCN": {
            "precision_all": 0.96,
            "precision_hem": 0.37,
            "precision_weighted": 0.78,
            "accuracy": 0.47,
            "auc": 0.609,
        },
        "MAC": {
            "precision_all": 0.97,
            "precision_hem": 0.89,
            "precision_weighted": 0.94,
            "accuracy": 0.94,
            "auc": 0.941,
        },
    },
}
"""Test scores by fold: trained on the imbalanced classes without augmentation (MCN), and after
balancing with augmentation (MAC)."""

TABLE_10 = {
    0: {"MobileNet_M": 96, "ALNett": 92.20},
    1: {"MobileNet_M": 96, "ALNett": 94},
    2: {"MobileNet_M": 94, "ALNett": 87.20},
    "average": {"MobileNet_M": 95.33, "ALNett": 91.13},
}
"""Accuracy in per cent."""

FOLD_0_CORRECT = {"MobileNet_M": 680, "ALNett": 650}
"""Section 4.4 and Fig. 8: test images of fold 0 classified rightly."""

ALNETT_TEXT = {"accuracy_percent": 91.31, "f1": 0.96, "fold_0_accuracy_percent": 92.70}
"""ALNett in sections 2.2 and 4.4, where it differs from Table 10."""

TABLE_11 = (
    {
        "authors": "Mathury et al. (2020)",
        "model": "MMA-MTL",
        "dataset": "Training set of C-NMC-NMC -2019",
        "f1_percent": 91,
    },
    {
        "authors": "Khandekar et al. (2021)",
        "model": "YOLOv4",
        "dataset": "Subset of C-NMC-2019",
        "f1_percent": 92,
    },
    {
        "authors": "Proposed methods",
        "model": "MobileNet_M",
        "dataset": "Training set of C-NMC-2019",
        "f1_percent": 95,
    },
)

ENVIRONMENT = {
    "gpu": "one NVIDIA A100 40GB of four",
    "cpu": "two Intel Xeon Gold 6226R",
    "python": "3.9.16",
    "tensorflow_gpu": "2.4.1",
    "keras": "2.10",
    "scikit_learn": "1.2.2",
    "numpy": "1.23.4",
    "matplotlib": "3.7.1",
    "imageio": "2.30",
    "imgaug": "0.4.0",
}
"""Section 4.1."""

ERRATA = (
    {
        "where": "Table 1",
        "finding": "No tool is named for the split; all 18 cells are int(0.7 n), int(0.1 n) and "
        "the rest.",
        "reading": "The rule of split-folders, per class and fold.",
    },
    {
        "where": "Section 3.2",
        "finding": "Each fold has its own model and its own random test part; folds are never "
        "mixed.",
        "reading": "Three single-fold runs, not cross-validation.",
    },
    {
        "where": "Section 3.2",
        "finding": "Images, not patients, are divided: every test image has its patient in "
        "training, and nine in ten have a cell of the same smear there.",
        "reading": "Both protocols are run: the paper's, and patient-disjoint.",
    },
    {
        "where": "Table 2",
        "finding": "The counts are right, but the classes stay unequal: 1677 to 1582, 1692 to "
        "1628, 1719 to 1534.",
        "reading": "Nearly balanced.",
    },
    {
        "where": "Section 3.2",
        "finding": "Only HEM images are greyed, so a grey image is a HEM image in training; test "
        "images are never grey.",
        "reading": "A shortcut the network may learn: tested with grey ALL images.",
    },
    {
        "where": "Section 3.3",
        "finding": "Noise of sigma 3 and 9 'in equal proportions' does not say whether noisy "
        "copies are added or replace the images, nor the order of the steps.",
        "reading": "Each image gets sigma 3 or 9, half each, drawn anew every epoch, after the "
        "grey step; the share left clean is a setting.",
    },
    {
        "where": "Section 3.3",
        "finding": "Noise on the black background is clipped at 0: at sigma 9 its mean rises to "
        "3.6, and 84 % of a picture is background.",
        "reading": "The noise as seen is not zero-mean; the book shows it.",
    },
    {
        "where": "Section 3.3",
        "finding": "A brightness factor of 0.4 to 0.8 darkens every training image and no test "
        "image; before Keras 2.10 the step also stretched the contrast.",
        "reading": "The factor alone, as Keras does since 2.10.",
    },
    {
        "where": "Sections 3.3 and 4.1",
        "finding": "Whether the validation images are balanced or noisy is not stated.",
        "reading": "Validation and test images stay clean and untouched.",
    },
    {
        "where": "Sections 4.1 and 4.3",
        "finding": "The text tests sigma 2, 5, 6 and 10; Tables 6-8 have 2, 5, 8 and 10.",
        "reading": "The tables.",
    },
    {
        "where": "Tables 6-8 and Fig. 4",
        "finding": "Bold minima are announced but none is set; the figure has no panel (d).",
        "reading": "Layout only.",
    },
    {
        "where": "Tables 6-8",
        "finding": "In all 15 rows recall is the column 'AUC' rounded, and one confusion matrix "
        "fits the row only if precision, recall and F1 are macro averages; Equations 5-7 define "
        "the binary ones.",
        "reading": "Macro averages; the 'AUC' is balanced accuracy, shown beside the real ROC-AUC.",
    },
    {
        "where": "Table 6, sigma 0",
        "finding": "With 680 images right, one confusion matrix fits: TP 469, FN 12, FP 15, "
        "TN 211.",
        "reading": "Accuracy 96.18 %, balanced accuracy 0.954.",
    },
    {
        "where": "Tables 7 and 8, sigma 0",
        "finding": "470/15/17/216 and 468/25/15/205 (TP/FN/FP/TN) fit the rows.",
        "reading": "Accuracy 95.54 % and 94.39 %: the 0.96 of fold 1 is 95.5 rounded.",
    },
    {
        "where": "Abstract and Table 10",
        "finding": "95.33 is the mean of the rounded 96, 96 and 94.",
        "reading": "95.37 % from the fitted matrices.",
    },
    {
        "where": "Tables 7 and 8",
        "finding": "Clean images score below sigma 2; a difference of 1 % is 7 images, within "
        "chance.",
        "reading": "No robustness can be claimed from one seed.",
    },
    {
        "where": "Section 4.3",
        "finding": "Accuracy in fold 0 holds under noise while balanced accuracy falls from 0.954 "
        "to 0.924 at sigma 10: HEM cells are lost.",
        "reading": "Accuracy alone hides it; recall is shown by class.",
    },
    {
        "where": "Table 9",
        "finding": "The model without balancing reaches 0.57, 0.69 and 0.47, where answering ALL "
        "always gives 0.68, 0.68 and 0.69.",
        "reading": "A collapsed training, not a measure of imbalance.",
    },
    {
        "where": "Section 4.3 on Table 9",
        "finding": "The precisions mean a recall of ALL of 0.37, 0.55 and 0.24: the answers lean "
        "to HEM, the minority, though the text says ALL.",
        "reading": "The opposite of the text.",
    },
    {
        "where": "Table 9",
        "finding": "The baseline lacks both balancing and augmentation.",
        "reading": "The two are told apart in a 2 by 2 ablation.",
    },
    {
        "where": "Section 2.2",
        "finding": "ALNett's accuracy is 91.31 in the text and 91.13 in Table 10 and in its own "
        "abstract.",
        "reading": "91.13.",
    },
    {
        "where": "Section 4.4 and Table 10",
        "finding": "ALNett in fold 0 is 92.20, 92.70 or 650 of 707 images (91.94 %).",
        "reading": "Quoted from its authors, on another split: not a head-to-head comparison.",
    },
    {
        "where": "Section 4.4",
        "finding": "ALNett's F1 of 0.96 is above the 0.95 that is said to surpass it.",
        "reading": "Noted beside Table 10.",
    },
    {
        "where": "Table 11",
        "finding": "The rows use different data and splits, and no noise test of the other models "
        "supports 'more robust'.",
        "reading": "Shown as reported; no ranking.",
    },
    {
        "where": "Section 2.2",
        "finding": "The 86.2 % quoted from Mondal et al. as accuracy is balanced accuracy.",
        "reading": "Named as such.",
    },
    {
        "where": "Section 4.2",
        "finding": "Convergence at epochs 16, 23 and 27 does not fit early stopping at 30, 60 and "
        "40 with a patience of 20.",
        "reading": "Stopping there puts the best epochs at 10, 40 and 20.",
    },
    {
        "where": "Table 3",
        "finding": "Five pointwise rows print 32 input channels; the first pointwise layer after "
        "a stride prints 128 channels in for 64; the last depthwise layer prints stride 2; the "
        "pool input is 1×1×1000; the FC filter 11024×1000; the 512 block is shown once of five.",
        "reading": "Inputs of 64, 128, 128, 256 and 256 channels; 56×56×64; stride 1; 7×7×1024; "
        "1024×1000; five times.",
    },
    {
        "where": "Table 4",
        "finding": "'GPU memory 6.2 MB' is the size of the weights in half precision.",
        "reading": "Training needs gigabytes; the figure is dropped.",
    },
    {
        "where": "Equations 2 and 3",
        "finding": "Batch normalisation lacks gamma and misplaces the mean; softmax mixes a vector "
        "and its element.",
        "reading": "The usual forms are given.",
    },
    {
        "where": "Section 3.1",
        "finding": "The images are called smears of 450×450 pixels.",
        "reading": "They are single cells, and those of the final test set are 600×600.",
    },
    {
        "where": "Section 4.3",
        "finding": "4.92 ms and 44.68 ms per image come without hardware, batch or warm-up.",
        "reading": "Measured again, with all three stated.",
    },
    {
        "where": "Abstract",
        "finding": "L1 acts on the 2,050 weights of the last layer only, 0.06 % of the model, and "
        "is credited with preventing overfitting.",
        "reading": "Tested in the ablation.",
    },
    {
        "where": "Section 4.1",
        "finding": "tensorflow_gpu 2.4.1 has no release for Python 3.9 and does not pair with "
        "Keras 2.10.",
        "reading": "The exact environment is unknown; today's versions are used and recorded.",
    },
    {
        "where": "References",
        "finding": "Some citations point elsewhere: the data set in Table 11, LeuFeatx, hybrid "
        "transfer learning; Mathur is printed Mathury.",
        "reading": "Sources are cited from the originals.",
    },
    {
        "where": "Section 5",
        "finding": "A 'second-opinion tool' is proposed from single cells of one centre, without "
        "a result per patient.",
        "reading": "Not for clinical use; the model card says so.",
    },
)
"""What does not add up in the paper, where, and how this book reads it."""
