"""Records become a fine-tuned model.

::

    config          one tree of settings                  outline         splits and steps, before a model is loaded
    train           a run: evaluate, fit, evaluate        fit             model, data and backend put together
    loop            one optimizer step after another      backends/       what a step runs on
    data/           records -> packed micro-batches       micro_batch_budget  how many tokens are in one
    strategies/     which parameters are trained          precision       in which dtypes
    optimizer       AdamW and its learning rate           telemetry/      losses, throughput, memory
    saver           when checkpoints are written          checkpoints     what they hold; resume: where a run begins
    evaluation/     how good a model is                   model_folder    loading and saving it
    processes       the process group                     launch          who starts its processes
"""
