"""The sections of modelyard.yaml: every key, its type, its default, its meaning.

The JSON Schema, the reference page and the comments in a new project's file are made from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
Share = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
ImageName = Annotated[str, Meta(pattern=r"^[a-z0-9]+(?:[._/:-]+[a-z0-9]+)*$")]
Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?\s*(s|m|h)?$")]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root of every section: frozen, and strict about its keys."""


class ProjectSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the project is called."""

    name: Annotated[Name, Meta(description="Name of the project, its experiment and its model.")]
    description: Annotated[str, Meta(description="One sentence for people.")] = ""


class DataSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the table lies and what its columns are."""

    path: Annotated[
        str,
        Meta(description="The table, relative to the project: CSV, TSV or Parquet, plain or gzip."),
    ]
    target: Annotated[str, Meta(description="The column to predict.")]
    task: Annotated[
        Literal["auto", "binary", "multiclass", "regression"],
        Meta(description="What kind of prediction; auto decides from the target's values."),
    ] = "auto"
    positive: Annotated[
        str | None, Meta(description="Binary: the class whose probability is reported.")
    ] = None
    id: Annotated[
        str | None,
        Meta(
            description="A column that names each row; never a feature; keys the split and data diff."
        ),
    ] = None
    time: Annotated[
        str | None,
        Meta(
            description="The column that orders the rows; gives calendar features, never its running value."
        ),
    ] = None
    group: Annotated[
        str | None,
        Meta(description="Rows of one group (a customer, a machine) never straddle the split."),
    ] = None
    exclude: Annotated[
        tuple[str, ...], Meta(description="Columns that the model must not see.")
    ] = ()
    types: Annotated[
        dict[str, Literal["number", "integer", "boolean", "category", "datetime", "text"]],
        Meta(description="Column -> type, where the inferred one is wrong."),
    ] = {}
    missing: Annotated[
        tuple[str, ...],
        Meta(description="Further spellings of a missing value, such as '?' or '-'."),
    ] = ()
    encoding: Annotated[str, Meta(description="Text encoding of a CSV; auto detects it.")] = "auto"
    delimiter: Annotated[str, Meta(description="Field delimiter of a CSV; auto detects it.")] = (
        "auto"
    )


class SplitSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows are dealt to train, valid and test: by a hash, so that new rows never move old ones."""

    kind: Annotated[
        Literal["stratified", "random", "group", "time"],
        Meta(
            description="stratified: by row (or id), the seed chosen so that classes are even; group: whole groups; time: by the dates below."
        ),
    ] = "stratified"
    valid: Annotated[Share, Meta(description="Share of the rows for validation.")] = 0.15
    test: Annotated[Share, Meta(description="Share of the rows held out for the gate.")] = 0.2
    seed: Annotated[
        int, Meta(description="Salt of the hash. Changing it deals all rows anew.", ge=0)
    ] = 0
    valid_from: Annotated[
        str | None, Meta(description="time: rows from this date on are valid.")
    ] = None
    test_from: Annotated[str | None, Meta(description="time: rows from this date on are test.")] = (
        None
    )


class TuneSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search for the best model."""

    mode: Annotated[
        Literal["search", "grid"],
        Meta(
            description="search: Optuna within the budget; grid: every point of the declared grid."
        ),
    ] = "search"
    budget: Annotated[
        Duration | None,
        Meta(
            description="Wall-clock time of the search, such as 60s, 10m, 1h; with trials beside "
            "it, whichever comes first."
        ),
    ] = "60s"
    trials: Annotated[
        Count | None,
        Meta(description="Number of trials; without a budget the search itself repeats exactly."),
    ] = None
    metric: Annotated[
        str,
        Meta(
            description="auto: roc_auc, log_loss or rmse by task; else one of the task's metrics."
        ),
    ] = "auto"
    families: Annotated[
        tuple[Literal["baseline", "linear", "forest", "boosting"], ...],
        Meta(description="Families to try; baseline is always tried."),
    ] = ("baseline", "linear", "forest", "boosting")
    folds: Annotated[
        int, Meta(description="Folds of the cross-validation on train + valid.", ge=2, le=20)
    ] = 5
    workers: Annotated[
        int, Meta(description="Trials in parallel, each in a process of one thread.", ge=1, le=64)
    ] = 2
    seed: Annotated[
        int, Meta(description="Seed of the sampler, the folds and the models.", ge=0)
    ] = 0
    prune: Annotated[
        bool,
        Meta(description="Stop a trial whose first folds are clearly worse than the best trial's."),
    ] = True
    ensemble: Annotated[
        int,
        Meta(
            description="Largest number of models blended by out-of-fold score; 1 keeps the single best.",
            ge=1,
            le=20,
        ),
    ] = 1
    threshold: Annotated[
        str,
        Meta(
            description="Binary: f1 or balanced (chosen out of fold), or a number between 0 and 1."
        ),
    ] = "f1"


class Limit(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An absolute limit on one metric."""

    min: Annotated[float | None, Meta(description="Refuse below.")] = None
    max: Annotated[float | None, Meta(description="Refuse above.")] = None


class GateSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a candidate must show before it is released."""

    limits: Annotated[
        dict[str, Limit],
        Meta(
            description="Metric -> min and/or max on the test rows, such as {roc_auc: {min: 0.7}}."
        ),
    ] = {}
    baseline: Annotated[
        bool, Meta(description="The candidate must beat the baseline, with the confidence below.")
    ] = True
    champion: Annotated[
        Literal["not_worse", "better", "ignore"],
        Meta(
            description="not_worse: refuse what is worse than the champion by more than the margin; better: demand an improvement above it; ignore: do not compare."
        ),
    ] = "not_worse"
    margin: Annotated[float, Meta(description="In units of the metric.", ge=0)] = 0.0
    confidence: Annotated[float, Meta(description="Of the paired bootstrap.", ge=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Meta(description="Of the bootstrap.", ge=100, le=100_000)] = 1000


class TrackSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where runs are recorded. MLFLOW_TRACKING_URI overrides the store."""

    uri: Annotated[str, Meta(description="MLflow tracking store.")] = "sqlite:///mlflow.db"
    experiment: Annotated[
        str | None, Meta(description="Experiment; the project's name where null.")
    ] = None
    model: Annotated[
        str | None, Meta(description="Registered model; the project's name where null.")
    ] = None


class ImageSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The container image of the endpoint, and what `modelyard image verify` holds it to."""

    name: Annotated[
        ImageName | None,
        Meta(
            description="Name of the image, as a registry wants it; the project's name in small letters where null."
        ),
    ] = None
    engine: Annotated[
        Literal["auto", "docker", "podman"],
        Meta(description="Which engine builds and runs; auto: the first that answers."),
    ] = "auto"
    base: Annotated[
        str, Meta(description="What the image is built on: Python with pip.", min_length=1)
    ] = "python:3.11-slim"
    runtime: Annotated[
        str | None,
        Meta(
            description="What runs the endpoint; the base where null, `minimal` for a root with Python and no shell, or another image with the same Python."
        ),
    ] = None
    python: Annotated[
        str, Meta(description="Python of the base image.", pattern=r"^3\.(1[1-9]|2\d)$")
    ] = "3.11"
    platform: Annotated[
        Literal["linux/amd64", "linux/arm64"], Meta(description="What the image runs on.")
    ] = "linux/amd64"
    size_mb: Annotated[
        Count, Meta(description="Budget: largest unpacked size of the image, in MB.")
    ] = 300
    minimal_size_mb: Annotated[
        Count, Meta(description="Budget: the same for `minimal`, in MB.")
    ] = 150
    memory_mb: Annotated[Count, Meta(description="Budget: memory of the idle endpoint, in MB.")] = (
        130
    )
    sign: Annotated[
        str | None,
        Meta(
            description="A command that signs after a build; it finds IMAGE, IMAGE_ID, IMAGE_RECORD and IMAGE_SBOM in its environment."
        ),
    ] = None


class CiSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pipelines that `modelyard sync` writes. After a change here: modelyard sync."""

    services: Annotated[
        tuple[Literal["github", "gitlab"], ...],
        Meta(description="Which services' files are kept up to date."),
    ] = ("github", "gitlab")
    branch: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")],
        Meta(description="The branch that is protected, released from and deployed."),
    ] = "main"
    python: Annotated[
        Annotated[str, Meta(pattern=r"^3\.\d+$")],
        Meta(description="Version of Python in the pipelines."),
    ] = "3.11"
    owners: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[@A-Za-z0-9][^\s]*$")], ...],
        Meta(description="Who is asked to review, such as '@ada' or '@org/team': CODEOWNERS."),
    ] = ()
    login: Annotated[
        Literal["none", "aws", "azure", "gcp"],
        Meta(
            description="Cloud that jobs log in to by OIDC, for the DVC remote and deployments; no static keys."
        ),
    ] = "none"
    nightly: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9*/,-]+( [0-9*/,A-Z-]+){4}$")],
        Meta(description="When drift is measured and a candidate is retrained: cron, in UTC."),
    ] = "17 3 * * *"
    incoming: Annotated[
        str | None,
        Meta(description="The table that the nightly job compares, a file in the repository."),
    ] = None
    image: Annotated[bool, Meta(description="Build and verify a container image.")] = True
    environments: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")], ...],
        Meta(
            description="Where the image is deployed, in order, such as [staging, production]; the last of several, and production, waits for approval. Where deploy.environments has any, it must have these."
        ),
    ] = ()


class EcsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ECS service on Fargate; what is named here exists already (docs/clouds/ecs.md)."""

    region: Annotated[str, Meta(description="AWS region.")] = ""
    cluster: Annotated[str, Meta(description="ECS cluster.")] = "default"
    subnets: Annotated[tuple[str, ...], Meta(description="Subnets of the tasks.")] = ()
    security_groups: Annotated[tuple[str, ...], Meta(description="Security groups.")] = ()
    target_group: Annotated[
        str | None, Meta(description="ARN of the load balancer's target group; none: no balancer.")
    ] = None
    execution_role: Annotated[
        str, Meta(description="ARN of the role that pulls the image and writes the log.")
    ] = ""
    cpu: Annotated[int, Meta(description="CPU units of a task: 256, 512, 1024, …")] = 256
    memory: Annotated[int, Meta(description="Memory of a task in MiB.")] = 512
    count: Annotated[int, Meta(description="Tasks.", ge=1, le=1000)] = 2
    public_ip: Annotated[bool, Meta(description="Whether tasks get a public address.")] = False


class Environment(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a release of one environment runs."""

    target: Annotated[Literal["kubernetes", "ecs", "local"], Meta(description="What runs it.")] = (
        "kubernetes"
    )
    context: Annotated[
        str | None,
        Meta(description="Kubernetes: the kubeconfig's context; the current one if null."),
    ] = None
    namespace: Annotated[
        str | None, Meta(description="Kubernetes: NAME-ENVIRONMENT where null.")
    ] = None
    values: Annotated[
        tuple[str, ...],
        Meta(description="Kubernetes: further values files, relative to the project, last wins."),
    ] = ()
    repository: Annotated[
        str | None,
        Meta(description="Where the image is pushed to, such as registry.example.com/team/churn."),
    ] = None
    url: Annotated[str | None, Meta(description="The endpoint's public address, for the link.")] = (
        None
    )
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(description="Local: the port that is listened at; 8081 for production, else 8080."),
    ] = None
    ecs: EcsSection = EcsSection()


class DeploySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where releases run."""

    environments: Annotated[
        dict[str, Environment],
        Meta(description="Environment (staging, production, …) -> target, context, namespace, …"),
    ] = {}
    timeout: Annotated[
        Duration, Meta(description="How long a rollout may take before it is taken back.")
    ] = "5m"


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """modelyard.yaml, resolved: flag > environment > file > default."""

    project: ProjectSection
    data: DataSection
    split: SplitSection = SplitSection()
    tune: TuneSection = TuneSection()
    gate: GateSection = GateSection()
    track: TrackSection = TrackSection()
    image: ImageSection = ImageSection()
    ci: CiSection = CiSection()
    deploy: DeploySection = DeploySection()
