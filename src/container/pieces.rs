//! A file as a request's body, without loading it into memory.

use std::{
    fs::File,
    io::{self, Seek},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tokio::io::AsyncReadExt;

/// Large enough that system calls do not matter, small enough for several concurrent uploads.
const PIECE: usize = 256 * 1024;

/// The file's content from its start, in pieces.
pub(super) fn pieces(mut file: File) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    file.rewind()?;
    let file = tokio::fs::File::from_std(file);
    Ok(stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures::TryStreamExt;

    use super::{PIECE, pieces};

    #[tokio::test]
    async fn the_whole_file_is_sent() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0u8..=255).cycle().take(PIECE * 2 + 7).collect();
        file.write_all(&content).unwrap();
        let sent: Vec<_> = pieces(file).unwrap().try_collect().await.unwrap();
        assert_eq!(sent.concat(), content);
    }
}
