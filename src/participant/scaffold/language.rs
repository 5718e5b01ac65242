//! The languages: which files a participant has, and the two commands that run it.

/// Makes the list of a language's files: path in the participant's folder, and text of the template of that name.
macro_rules! templates {
    ($folder:literal: $($path:literal),* $(,)?) => {
        vec![
            ("README.md", include_str!("templates/README.md.jinja")),
            $(($path, include_str!(concat!("templates/", $folder, "/", $path, ".jinja"))),)*
            ("schema.sql", include_str!("templates/schema.sql.jinja")),
        ]
    };
}

/// A language that participants are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python 3.11, confluent-kafka and psycopg.
    Python,
    /// Node 20, @platformatic/kafka and pg.
    Node,
    /// Java 17, kafka-clients and the Postgres JDBC driver, built by Maven.
    Java,
    /// Go, franz-go and pgx.
    Go,
    /// Rust, this crate.
    Rust,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Python, Self::Node, Self::Java, Self::Go, Self::Rust];

    /// The word for the command line, and the folder in `examples/participants/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
            Self::Go => "go",
            Self::Rust => "rust",
        }
    }

    /// Where the author writes.
    pub(super) fn handler(self) -> &'static str {
        match self {
            Self::Python => "handler.py",
            Self::Node => "handler.js",
            Self::Java => "src/main/java/participant/Handler.java",
            Self::Go => "handler.go",
            Self::Rust => "src/handler.rs",
        }
    }

    /// The command that installs or builds it, in its folder.
    pub fn install(self) -> &'static str {
        match self {
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            Self::Node => "npm ci",
            Self::Java => "mvn package",
            Self::Go => "go build -o participant .",
            Self::Rust => "cargo build --release",
        }
    }

    /// The command that runs it, in its folder.
    pub fn run(self) -> &'static str {
        match self {
            Self::Python => ".venv/bin/python participant.py",
            Self::Node => "node participant.js",
            Self::Java => "java -jar target/participant.jar",
            Self::Go => "./participant",
            Self::Rust => "cargo run --release",
        }
    }

    /// How its Postgres client wants an address.
    pub(super) fn database_url(self) -> &'static str {
        match self {
            Self::Java => "jdbc:postgresql://host/database?user=USER&password=PASSWORD",
            Self::Python | Self::Node | Self::Go | Self::Rust => "postgres://user:password@host/database",
        }
    }

    /// False where the barrier is inside a library.
    pub(super) fn ships_barrier(self) -> bool {
        self != Self::Rust
    }

    /// Paths and templates.
    pub(super) fn templates(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Python => templates!["python": "handler.py", "contract.py", "participant.py", "requirements.txt"],
            Self::Node => templates![
                "node": "handler.js", "contract.js", "participant.js", "package.json", "package-lock.json"
            ],
            Self::Java => templates![
                "java": "src/main/java/participant/Handler.java", "src/main/java/participant/Command.java",
                "src/main/java/participant/Reply.java", "src/main/java/participant/Participant.java", "pom.xml"
            ],
            Self::Go => templates!["go": "handler.go", "contract.go", "main.go", "go.mod", "go.sum"],
            Self::Rust => templates!["rust": "src/handler.rs", "src/main.rs", "Cargo.toml"],
        }
    }
}
