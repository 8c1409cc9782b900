// Packed matrices filled from open files by threads of their own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "owned.hpp"

namespace fathom {

// Rows of one tensor in a file, in the order in which a matrix has them: `count` that follow each
// other from `first` on, or else the `chosen` ones.
struct FileRows {
    Encoding encoding;
    int descriptor;
    std::int64_t offset;  // of the tensor, in bytes
    std::int64_t first, count;
    std::vector<std::int64_t> chosen;
};

// A file that could not be read: `error` is the system's number, 0 where it ended early.
struct Unread {
    std::int64_t job;
    int error;
};

// Rows go from the files to their place a piece at a time, so that nothing but a piece for each
// thread is held beside the packed weights. Threads begin with the first piece, and whoever made
// the matrices may do other work meanwhile; descriptors stay open until all is done.
class Filling {
public:
    explicit Filling(int threads) : threads_(threads) {}
    ~Filling() { stop(); }
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;

    // Rows of a file become the rows of a matrix from `first_row` on, as they are stored or rounded
    // to what the matrix is. Returns the number of the job. Throws std::invalid_argument where
    // rows are outside of the matrix, or cannot become what it is.
    std::int64_t add(const OwnedMatrix& matrix, FileRows source, std::int64_t first_row);

    // Waits until all rows are in place, or something could not be read, or for so long. Returns
    // whether it is over.
    bool wait(std::chrono::duration<double> most);

    std::int64_t done() const;  // bytes of files that were packed
    std::optional<Unread> failed() const;

    // Leaves out what nobody has begun, and ends the threads.
    void stop();

private:
    struct Job {
        OwnedMatrix matrix;
        FileRows source;
        std::int64_t first_row;
    };
    struct Piece {
        std::int64_t job, begin, end;  // rows of the job
    };

    void work();
    bool over() const { return failed_.has_value() || (pieces_.empty() && under_way_ == 0); }

    const int threads_;
    mutable std::mutex guard_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;  // whose places never change
    std::deque<Piece> pieces_;
    std::int64_t under_way_ = 0, done_ = 0;
    std::optional<Unread> failed_;
    bool stopping_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace fathom
